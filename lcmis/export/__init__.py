"""What leaves as a file: repaired prompts, other people's layouts, a report."""
