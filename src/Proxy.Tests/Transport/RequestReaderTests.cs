using System.Text;
using Proxy.Transport.Http1;

namespace Proxy.Tests.Transport;

public sealed class RequestReaderTests
{
    private const string Plain =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer a\r\nContent-Length: 12\r\nAccept: \r\n\r\n";

    private readonly RequestReader reader = new();

    [Fact]
    public void Plain_head_Is_read_and_nothing_after_it()
    {
        Assert.True(Read(Plain + "{\"model\":1}", out var length));

        Assert.Equal(Plain.Length, length);
        Assert.Equal(("POST", "/v1/chat/completions", 12L), (reader.Method, reader.Path, reader.BodyLength));
        Assert.Equal(["Host: 127.0.0.1:8080", "Authorization: Bearer a", "Content-Length: 12", "Accept: "], reader.Fields.Select(f => $"{f.Key}: {f.Value}"));
        Assert.Equal("Bearer a", reader.Fields["AUTHORIZATION"]);
    }

    [Fact]
    public void Lines_that_come_again_Are_the_same_objects()
    {
        Assert.True(Read(Plain, out _));
        var key = reader.Fields["authorization"].ToString();

        Assert.True(Read(Plain.Replace("12", "345", StringComparison.Ordinal), out _));

        Assert.Equal(345, reader.BodyLength);
        Assert.Same(key, reader.Fields["authorization"].ToString());
    }

    [Fact]
    public void Part_of_a_head_Is_not_read()
    {
        for (var cut = 0; cut < Plain.Length; cut++)
        {
            Assert.False(Read(Plain[..cut], out _), $"cut at {cut}");
            Assert.False(new RequestReader().TryRead(Encoding.Latin1.GetBytes(Plain[..cut]), out _), $"cut at {cut}");
            Assert.True(Read(Plain, out _)); // so that the next cut meets known lines
        }
    }

    [Theory]
    [InlineData("POST ", "post ")]
    [InlineData("POST ", "PUT ")]
    [InlineData("POST ", "GET ")] // with a length
    [InlineData("HTTP/1.1", "HTTP/1.0")]
    [InlineData("HTTP/1.1", "HTTP/1.1 ")]
    [InlineData("/v1/", "http://x/v1/")]
    [InlineData("/v1/", "/../v1/")]
    [InlineData("/v1/", "//v1/")]
    [InlineData("/v1/", "/%761/")]
    [InlineData("completions ", "completions?a=b ")]
    [InlineData("\r\n", "\n")]
    [InlineData("Host: 127.0.0.1:8080\r\n", "")]
    [InlineData("Host: 127.0.0.1:8080", "Host: ")]
    [InlineData("Host: 127.0.0.1:8080", "Host: a@b")]
    [InlineData("Host: 127.0.0.1:8080", "Host: :8080")]
    [InlineData("Host: 127.0.0.1:8080", "Host: a:")]
    [InlineData("Host: 127.0.0.1:8080", "Host: a:80a")]
    [InlineData("Host: 127.0.0.1:8080", "Host: a:1:2")]
    [InlineData("Host: 127.0.0.1:8080", "Host: ::1")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [::1")]
    [InlineData("Host: 127.0.0.1:8080", "Host: ::1]")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [::1]a")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [::1]:")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [::1]80")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [g::1]")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [1.2.3.4]")]
    [InlineData("Host: 127.0.0.1:8080", "Host: []")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [::]")] // Kestrel does not accept it
    [InlineData("Host: 127.0.0.1:8080", "Host: [fe80::1%1]")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [::1/64]")]
    [InlineData("Host: 127.0.0.1:8080", "Host: a[::1]")]
    [InlineData("Host: 127.0.0.1:8080", "Host: [[::1]]")]
    [InlineData("Host: 127.0.0.1:8080", "Host: a\r\nhost: a")]
    [InlineData("Accept: ", "Content-Length: 12")]
    [InlineData("Accept: ", "content-length: 12")]
    [InlineData("Content-Length: 12\r\n", "")]
    [InlineData("Content-Length: 12", "Content-Length: ")]
    [InlineData("Content-Length: 12", "Content-Length: -1")]
    [InlineData("Content-Length: 12", "Content-Length: 1 2")]
    [InlineData("Content-Length: 12", "Content-Length: 12, 12")]
    [InlineData("Content-Length: 12", "Content-Length: 0x12")]
    [InlineData("Content-Length: 12", "Content-Length: 99999999999999999999")]
    [InlineData("Accept: ", "Transfer-Encoding: chunked")]
    [InlineData("Accept: ", "TRANSFER-ENCODING: identity")]
    [InlineData("Accept: ", "Expect: 100-continue")]
    [InlineData("Accept: ", "Upgrade: h2c")]
    [InlineData("Accept: ", "Connection: close")]
    [InlineData("Accept: ", "Connection: keep-alive, authorization")]
    [InlineData("Accept: ", " Accept: a")]
    [InlineData("Accept: ", "Accept : a")]
    [InlineData("Accept: ", ": a")]
    [InlineData("Accept: ", "Accept")]
    [InlineData("Accept: ", "Accept: a\tb")]
    [InlineData("Accept: ", "Accept: a\0b")]
    [InlineData("Accept: ", "Accept: a\rb")]
    [InlineData("Accept: ", "Accept: a\nb")]
    [InlineData("Accept: ", "Accept: \u00e9")]
    public void Head_that_is_not_plain_Is_not_read(string what, string instead)
    {
        var unplain = Plain.Replace(what, instead, StringComparison.Ordinal);
        Assert.NotEqual(Plain, unplain);
        Assert.False(Read(unplain, out _));
        Assert.True(Read(Plain, out _));
        Assert.False(Read(unplain, out _), "after a plain one");
    }

    [Theory]
    [InlineData("localhost")]
    [InlineData("box_1.example.:8080")]
    [InlineData("[::1]")]
    [InlineData("[::ffff:127.0.0.1]:11435")]
    [InlineData("[2001:DB8::1]:1")]
    public void Host_of_a_name_or_an_address_Is_read(string host)
    {
        Assert.True(Read(Plain.Replace("127.0.0.1:8080", host, StringComparison.Ordinal), out _));
        Assert.Equal(host, reader.Fields["host"].ToString());
    }

    [Fact]
    public void Line_of_an_earlier_head_Does_not_make_a_field_stand_twice()
    {
        Assert.True(Read("GET /a HTTP/1.1\r\nHost: x\r\na: 1\r\nb: 2\r\n\r\n", out _));
        Assert.True(Read("GET /a HTTP/1.1\r\nHost: x\r\nb: 2\r\n\r\n", out _));

        Assert.False(Read("GET /a HTTP/1.1\r\nHost: x\r\nb: 2\r\nb: 2\r\n\r\n", out _));
    }

    [Fact]
    public void Head_that_is_too_long_or_has_too_many_fields_Is_not_read()
    {
        Assert.False(Read($"GET /a HTTP/1.1\r\nHost: x\r\na: {new string('x', 9000)}\r\n\r\n", out _));
        Assert.False(Read($"GET /a HTTP/1.1\r\nHost: x\r\n{string.Concat(Enumerable.Range(0, 48).Select(i => $"a{i}: 1\r\n"))}\r\n", out _));
        Assert.True(Read($"GET /a HTTP/1.1\r\nHost: x\r\n{string.Concat(Enumerable.Range(0, 47).Select(i => $"a{i}: 1\r\n"))}\r\n", out _));
    }

    private bool Read(string head, out int length) => reader.TryRead(Encoding.Latin1.GetBytes(head), out length);

    [Fact]
    public void Field_stands_twice_in_a_head_that_came_in_pieces_It_is_not_read()
    {
        const string Twins = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nCookie: 5\r\nContent-Length: 0\r\n\r\n";
        var reader = new RequestReader();
        Assert.True(reader.TryRead("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nCookie: 5\r\nAccept: x\r\n\r\n"u8, out _));

        for (var length = 0; length <= Twins.Length; length++) Assert.False(reader.TryRead(Encoding.ASCII.GetBytes(Twins[..length]), out _), Twins[..length]);

        Assert.False(reader.TryRead(Encoding.ASCII.GetBytes(Twins), out _));
    }
}
