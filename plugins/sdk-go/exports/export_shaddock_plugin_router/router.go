//go:build wasip1

// Package export_shaddock_plugin_router is called by the generated bindings, which want this name.
package export_shaddock_plugin_router

import (
	"shaddock/internal/component"
	"shaddock/internal/host"

	wit "go.bytecodealliance.org/pkg/wit/types"
	router "wit_component/shaddock_plugin_router"
	types "wit_component/shaddock_plugin_types"
)

// ServerTypes are the server types with a route function.
func ServerTypes() []string {
	return host.Served.ServerTypes()
}

// SetServers tells the servers of a type.
func SetServers(serverType string, servers []types.ServerInfo) {
	defer component.Beside()()
	host.Served.SetServers(serverType, component.ServersOf(servers))
}

// Route picks a server.
func Route(serverType string, key router.RouteKey, method string) wit.Result[router.Target, types.Failure] {
	defer component.Beside()()
	var session *host.Session
	var text string
	if key.Tag() == router.RouteKeySession {
		raw := component.SessionOf(key.Session())
		session = &raw
	} else {
		text = key.Value()
	}
	id, failure := host.Served.Route(serverType, session, text, method)
	return component.Answered(router.MakeTargetId(id), failure)
}
