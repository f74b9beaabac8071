"""What is known of a server's tools: category, risk, annotations and input schemas, as a person has reviewed them."""
