"""Reading and writing media with PyAV."""
