"""What the tests, the demo and the benchmarks share: throw-away clusters, workers, and Stripe's side of the wire."""
