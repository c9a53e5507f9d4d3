//go:build wasip1

// Package export_shaddock_plugin_lifecycle is called by the generated bindings, which want this name.
package export_shaddock_plugin_lifecycle

import (
	"shaddock/internal/component"
	"shaddock/internal/host"

	wit "go.bytecodealliance.org/pkg/wit/types"
	types "wit_component/shaddock_plugin_types"
)

// Init runs in every new instance. That of a route function is made in the same way, and cannot reach the host.
func Init(settings string) wit.Result[wit.Unit, types.Failure] {
	defer component.Beside()()
	return component.Done(host.Served.Init(settings))
}

// Start runs once per server.
func Start(settings string) wit.Result[wit.Unit, types.Failure] {
	defer component.Begin()()
	return component.Done(host.Served.Start(settings))
}

// SessionClosed runs when a session has gone.
func SessionClosed(session types.Session, reason string) {
	defer component.Begin()()
	host.Served.SessionClosed(component.SessionOf(session), reason)
}

// Stop runs before the server stops.
func Stop() {
	defer component.Begin()()
	host.Served.Stop()
}
