"""Reading text in pictures: where lines are, one file for each step, and what they say."""
