"""What can be said of a conversation when it is over: analyses, and who makes them."""
