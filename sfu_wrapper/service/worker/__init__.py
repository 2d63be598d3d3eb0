"""The recording service: takes segments from the queue and makes recordings of them."""
