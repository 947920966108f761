"""What scenarios on test hosts share: runs of playbooks as a user types them, traffic, and a look at the hosts."""
