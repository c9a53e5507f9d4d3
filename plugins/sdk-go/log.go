package shaddock

import (
	"context"
	"log/slog"
	"strings"

	"shaddock/internal/host"
)

// logger takes the lines of log and log/slog to the server's log.
type logger struct {
	// The attributes and groups that With added.
	begun  string
	groups string
}

func (logger) Enabled(context.Context, slog.Level) bool { return true }

func (l logger) Handle(_ context.Context, record slog.Record) error {
	var line strings.Builder
	line.WriteString(record.Message)
	line.WriteString(l.begun)
	record.Attrs(func(attribute slog.Attr) bool {
		write(&line, l.groups, attribute)
		return true
	})
	host.Here.Log(levelOf(record.Level), strings.ToValidUTF8(line.String(), "?"))
	return nil
}

func (l logger) WithAttrs(attributes []slog.Attr) slog.Handler {
	var line strings.Builder
	for _, attribute := range attributes {
		write(&line, l.groups, attribute)
	}
	return logger{begun: l.begun + line.String(), groups: l.groups}
}

func (l logger) WithGroup(name string) slog.Handler {
	return logger{begun: l.begun, groups: l.groups + name + "."}
}

func write(line *strings.Builder, groups string, attribute slog.Attr) {
	line.WriteString(" " + groups + attribute.Key + "=" + attribute.Value.Resolve().String())
}

// levelOf is the contract's number of a level.
func levelOf(level slog.Level) uint8 {
	switch {
	case level >= slog.LevelError:
		return 3
	case level >= slog.LevelWarn:
		return 2
	case level >= slog.LevelInfo:
		return 1
	default:
		return 0
	}
}
