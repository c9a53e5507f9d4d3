package shaddock

import (
	"hash/crc32"
	"unicode/utf16"
)

// RouteKey is what a route function decides by: a session, or (that is nil) the caller's own text.
type RouteKey struct {
	Session *Session
	Value   string
}

// Text is the caller's own text, or that setting of the session; empty if there is neither.
func (k *RouteKey) Text(setting string) string {
	if k.Session == nil {
		return k.Value
	}
	return k.Session.Text(setting)
}

// CRC32 is the checksum of the low byte of each UTF-16 unit, as a signed number.
func CRC32(text string) int32 {
	units := utf16.Encode([]rune(text))
	low := make([]byte, len(units))
	for i, unit := range units {
		low[i] = byte(unit)
	}
	return int32(crc32.ChecksumIEEE(low))
}

// Pick is the server that a text's hash names: abs(crc32(text)) % n, as pomelo's dispatchers do. Fails (503) if there is none.
func Pick(text string, servers []Server) (Server, error) {
	if len(servers) == 0 {
		return Server{}, &Failure{Code: 503, Message: "no server of the type is up", Retryable: true}
	}
	hash := int64(CRC32(text))
	return servers[max(hash, -hash)%int64(len(servers))], nil
}
