"""What the robot can be tried against, an ERP first of all. Only the command line imports it."""
