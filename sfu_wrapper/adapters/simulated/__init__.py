"""The simulated media plane: real encoded media, no SFU."""
