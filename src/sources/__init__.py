"""Where recordings are read from: URLs, a bucket, the network volume."""
