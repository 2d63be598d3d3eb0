"""The shell around the core: rooms of the controller, jobs of the recording service."""
