"""What benchmarks share: measures, synthetic runs, peers."""
