"""What several packages use; it imports none of them."""
