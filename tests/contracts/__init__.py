"""What every model must keep, whoever writes it."""
