//go:build wasip1

package component

import (
	"shaddock/internal/host"

	wit "go.bytecodealliance.org/pkg/wit/types"
	app "wit_component/shaddock_plugin_app"
	channels "wit_component/shaddock_plugin_channels"
	rpc "wit_component/shaddock_plugin_rpc"
	sessions "wit_component/shaddock_plugin_sessions"
	timers "wit_component/shaddock_plugin_timers"
	types "wit_component/shaddock_plugin_types"
)

// Host calls the host through the bindings.
type Host struct{}

func failed(f types.Failure) *host.Failure {
	return &host.Failure{Code: f.Code, Message: f.Message, Retryable: f.Retryable}
}

func done(result wit.Result[wit.Unit, types.Failure]) *host.Failure {
	if result.IsErr() {
		return failed(result.Err())
	}
	return nil
}

func given[T any](result wit.Result[T, types.Failure]) (value T, failure *host.Failure) {
	if result.IsErr() {
		return value, failed(result.Err())
	}
	return result.Ok(), nil
}

func rawID(id host.SessionID) types.SessionId {
	return types.SessionId{FrontendId: id.Frontend, Number: id.Number}
}

func rawMember(member host.Member) types.Member {
	return types.Member{Uid: member.UID, FrontendId: member.Frontend}
}

func memberOf(member types.Member) host.Member {
	return host.Member{UID: member.Uid, Frontend: member.FrontendId}
}

func rawKey(key host.Key) rpc.RouteKey {
	if key.Session != nil {
		return rpc.MakeRouteKeySession(rawID(*key.Session))
	}
	return rpc.MakeRouteKeyValue(key.Text)
}

func each[A, B any](list []A, of func(A) B) []B {
	all := make([]B, len(list))
	for i, one := range list {
		all[i] = of(one)
	}
	return all
}

func (Host) Log(level uint8, message string) { app.Log(level, message) }

func (Host) OwnServer() host.Server {
	defer storing()()
	return ServerOf(app.OwnServer())
}

func (Host) ServerTypes() []string {
	defer storing()()
	return app.ServerTypes()
}

func (Host) RandomBytes(count uint32) []byte { return randomBytes(count) }

func (Host) Servers(serverType string) []host.Server {
	defer storing()()
	return each(app.Servers(serverType), ServerOf)
}

func (Host) Server(id string) (host.Server, bool) {
	defer storing()()
	server := app.Server(id)
	if server.IsNone() {
		return host.Server{}, false
	}
	return ServerOf(server.Some()), true
}

func (Host) Bind(id host.SessionID, uid string) *host.Failure {
	defer storing()()
	return done(sessions.Bind(rawID(id), uid))
}

func (Host) Unbind(id host.SessionID, uid string) *host.Failure {
	defer storing()()
	return done(sessions.Unbind(rawID(id), uid))
}

func (Host) Set(id host.SessionID, key, value string) *host.Failure {
	defer storing()()
	return done(sessions.Set(rawID(id), key, value))
}

func (Host) PushSettings(id host.SessionID, keys []string) *host.Failure {
	defer storing()()
	return done(sessions.Push(rawID(id), keys))
}

func (Host) Kick(id host.SessionID, reason string) *host.Failure {
	defer storing()()
	return done(sessions.Kick(rawID(id), reason))
}

func (Host) Send(id host.SessionID, route string, body []byte) *host.Failure {
	defer storing()()
	return done(sessions.Send(rawID(id), route, body))
}

func (Host) Address(id host.SessionID) (string, *host.Failure) {
	defer storing()()
	return given(sessions.Address(rawID(id)))
}

func (Host) Create(channel string) (bool, *host.Failure) {
	defer storing()()
	return given(channels.Create(channel))
}

func (Host) Join(channel string, member host.Member) (bool, *host.Failure) {
	defer storing()()
	return given(channels.Join(channel, rawMember(member)))
}

func (Host) Leave(channel string, member host.Member) bool {
	defer storing()()
	return channels.Leave(channel, rawMember(member))
}

func (Host) Members(channel string) ([]host.Member, *host.Failure) {
	defer storing()()
	members, failure := given(channels.Members(channel))
	return each(members, memberOf), failure
}

func (Host) Find(channel, uid string) (host.Member, bool) {
	defer storing()()
	member := channels.Find(channel, uid)
	if member.IsNone() {
		return host.Member{}, false
	}
	return memberOf(member.Some()), true
}

func (Host) Push(channel, route string, body []byte) *host.Failure {
	defer storing()()
	return done(channels.Push(channel, route, body))
}

func (Host) Destroy(channel string) bool { return channels.Destroy(channel) }

func (Host) PushTo(members []host.Member, route string, body []byte) *host.Failure {
	defer storing()()
	return done(channels.PushTo(each(members, rawMember), route, body))
}

func (Host) Broadcast(serverType, route string, body []byte, boundOnly bool) *host.Failure {
	defer storing()()
	return done(channels.Broadcast(serverType, route, body, boundOnly))
}

func (Host) Call(serverType string, key host.Key, method string, args []byte) ([]byte, *host.Failure) {
	defer storing()()
	return given(rpc.Call(serverType, rawKey(key), method, args))
}

func (Host) CallServer(id, method string, args []byte) ([]byte, *host.Failure) {
	defer storing()()
	return given(rpc.CallServer(id, method, args))
}

func (Host) CallAll(serverType, method string, args []byte) []host.Answer {
	defer storing()()
	answers := rpc.CallAll(serverType, method, args)
	all := make([]host.Answer, len(answers))
	for i, answer := range answers {
		all[i].Server = answer.F0
		all[i].Body, all[i].Failure = given(answer.F1)
	}
	return all
}

func (Host) Notify(serverType string, key host.Key, method string, args []byte) *host.Failure {
	defer storing()()
	return done(rpc.Notify(serverType, rawKey(key), method, args))
}

func (Host) After(delayMs uint64, name string, payload []byte) (uint64, *host.Failure) {
	defer storing()()
	return given(timers.After(delayMs, name, payload))
}

func (Host) Every(periodMs uint64, name string, payload []byte) (uint64, *host.Failure) {
	defer storing()()
	return given(timers.Every(periodMs, name, payload))
}

func (Host) Cancel(timer uint64) bool { return timers.Cancel(timer) }
