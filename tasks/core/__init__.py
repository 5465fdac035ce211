"""The decisions: values in, a frozen result out. No Prefect, no I/O, no clock, no randomness."""
