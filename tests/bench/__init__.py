"""What script/bench measures: how long runs take, what a host serves, and what deploys cost its clients."""
