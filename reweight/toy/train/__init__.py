"""Training of the text encoder, the autoencoder and the U-Net, and saving them as a pipeline."""
