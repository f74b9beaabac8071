from meshes import Mesh, token

def show(n, a): print(n, a.status, a.reason, a.challenge, a.body[:300], {k:v for k,v in a.headers.items() if k in('server','x-envoy-upstream-service-time')})

def test_sidecar(sidecars: Mesh):
    m = sidecars
    show("ok", m.call(bearer=token()))
    show("none", m.call())
    show("vault trusted", m.call(server="vault", workload="trusted"))
    show("vault intruder", m.call(server="vault"))
    print(m.counters(), m.reached())
    assert 0
def test_waypoint(waypoint: Mesh):
    m = waypoint
    from authz.app.demo import stack
    import time
    try: m.call(bearer=token())
    except Exception as e: print(repr(e))
    d = m.service.child.output.parent
    for f in d.glob("*.err"): print(f, f.read_text()[-1500:])
    print("\n".join(l for l in stack.get(m.proxies[0].admin, "/stats")[1].decode().splitlines() if not l.endswith(": 0") and ("connect_term" in l or "main_int" in l or "ssl" in l or "inbound" in l)))
    show("ok", m.call(bearer=token()))
    show("none", m.call())
    show("vault trusted", m.call(server="vault", workload="trusted"))
    show("vault intruder", m.call(server="vault"))
    show("plain trusted", m.call(server="plain", workload="trusted"))
    print(m.counters(), m.reached())
    assert 0
def test_gateway(gateway: Mesh):
    m = gateway
    show("ok", m.call(bearer=token()))
    show("none", m.call())
    show("vault alice", m.call(server="vault", bearer=token(server="vault")))
    show("vault bob", m.call(server="vault", bearer=token("bob",server="vault")))
    print(m.counters(), m.reached())
    assert 0
