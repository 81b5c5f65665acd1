package verify

// DecodeText is for the law of its fuzz test.
var DecodeText = decodeText
