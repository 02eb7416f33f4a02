"""What the words mean: records and closed sets that two rooms share. No I/O, no clock."""
