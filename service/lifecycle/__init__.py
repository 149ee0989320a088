"""What happens to stored deliveries later: kept for a time, copied, erased, replayed, audited."""
