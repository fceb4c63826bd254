"""What runs in the child process that opens hostile bytes. It imports nothing of the agent beside this folder."""
