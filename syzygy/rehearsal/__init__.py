"""Rehearsing a deployment on a scratch database."""
