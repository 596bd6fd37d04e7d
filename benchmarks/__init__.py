"""What ensoras-middleware costs, beside the least that it could cost and beside its peers."""
