"""Ways of training compared: each arm begins with the same weights, sees the same batches and has the same minutes."""
