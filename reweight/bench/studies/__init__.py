"""Studies that test the paper's claims."""
