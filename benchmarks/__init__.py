"""What is measured, each module a command that prints a table: see README.md."""
