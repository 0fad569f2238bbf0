"""The story that shows the product at work: real calls, real events, real mail, through the public API.

All eight points of domain 10, with fresh names each time, so that it can be told again and again on the
same data. `telling` is how it looks and waits, `acts` is what people do, `chapters` is what happens.
"""

from services.story.chapters import Story
from services.story.telling import Step, StoryError

__all__ = ["Step", "Story", "StoryError"]
