"""The shared store on Valkey or Redis: what `authz.state.store` promises, for any number of replicas."""
