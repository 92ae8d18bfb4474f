"""Lines of input to rows: ratings, catalogue, users, histories, splits, bad rows. Pure; called in workers."""
