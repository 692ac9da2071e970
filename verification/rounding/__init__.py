"""What rounding may do: the budget of every operation, from which every comparison of this folder takes its
limit."""
