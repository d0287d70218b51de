"""What is learned from answers: where it came from, what it has earned, and how to go back."""
