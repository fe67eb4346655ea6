"""Writing migrations that both releases of a rollout survive."""
