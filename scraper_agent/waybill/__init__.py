"""Waybills beyond their format: QR code, JSON message and status of dangerous goods, verification of e-commerce."""
