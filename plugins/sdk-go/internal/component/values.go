//go:build wasip1

package component

import (
	"shaddock/internal/host"

	wit "go.bytecodealliance.org/pkg/wit/types"
	types "wit_component/shaddock_plugin_types"
)

// SessionOf is a session as the SDK knows it.
func SessionOf(raw types.Session) host.Session {
	session := host.Session{ID: host.SessionID{Frontend: raw.Id.FrontendId, Number: raw.Id.Number}}
	if raw.Uid.IsSome() {
		uid := raw.Uid.Some()
		session.UID = &uid
	}
	session.Settings = each(raw.Settings, func(setting types.Setting) host.Setting { return host.Setting(setting) })
	return session
}

// ServerOf is a server as the SDK knows it.
func ServerOf(raw types.ServerInfo) host.Server {
	return host.Server{
		ID:         raw.Id,
		ServerType: raw.ServerType,
		Frontend:   raw.Frontend,
		Host:       raw.Host,
		Port:       raw.Port.SomeOr(0),
		ClientHost: raw.ClientHost.SomeOr(""),
		ClientPort: raw.ClientPort.SomeOr(0),
		Fields:     raw.Fields,
	}
}

// ServersOf are servers as the SDK knows them.
func ServersOf(raw []types.ServerInfo) []host.Server {
	return each(raw, ServerOf)
}

// Answered is the outcome of a call as the bindings know it.
func Answered[T any](value T, failure *host.Failure) wit.Result[T, types.Failure] {
	if failure != nil {
		return wit.Err[T](types.Failure(*failure))
	}
	return wit.Ok[T, types.Failure](value)
}

// Done is the outcome of a call without an answer.
func Done(failure *host.Failure) wit.Result[wit.Unit, types.Failure] {
	return Answered(wit.Unit{}, failure)
}
