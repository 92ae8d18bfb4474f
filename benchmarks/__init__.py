"""What is measured: a room for each subject, and here what the rooms share. See README.md."""
