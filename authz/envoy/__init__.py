"""The room of the proxy's protocol: Envoy's Check API over gRPC. The only one that knows gRPC and protobuf."""
