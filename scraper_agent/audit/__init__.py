"""What makes the log worth anything to others: heads that were shown, whoever saw them, and what both prove."""
