"""What the paper claims, put to the test."""
