"""Help that every stage may use."""
