"""What is measured, one suite a module: each a function from a Lab to samples in it."""
