"""Task queues. One worker process can serve all; they split by name when a lab grows."""

ORCHESTRATION = "lab.orchestration"
"""Workflows, and activities that are one database transaction."""
INSTRUMENTS = "lab.instruments"
RENDER = "lab.render"
"""Documents: CPU-bound, on threads."""
RAZORPAY = "lab.partners.razorpay"
EINVOICE = "lab.partners.einvoice"
MESSAGING = "lab.partners.messaging"
ABDM = "lab.partners.abdm"

PARTNERS = (RAZORPAY, EINVOICE, MESSAGING, ABDM)
ALL = (ORCHESTRATION, RENDER, *PARTNERS)
