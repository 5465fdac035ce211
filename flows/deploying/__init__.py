"""Bringing a Prefect server in line with prefect.yaml and infra/deploy/catalogue.py."""
