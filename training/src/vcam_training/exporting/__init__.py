"""From a finished run or network to a SavedModel with its signatures and its model spec."""
