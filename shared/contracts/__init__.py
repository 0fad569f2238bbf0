"""The published language: what services tell each other and subscribers, and nothing else.

One pydantic model for each event type; its wire name stands beside its class. Within v1 a model
only ever grows optional fields. Depends on pydantic and `shared.ids` alone.
"""
