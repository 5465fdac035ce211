"""What a report says, before it is Markdown or HTML: values in, values out."""
