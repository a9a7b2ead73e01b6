using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Http;

namespace Proxy.Tests.Http;

public sealed class IdsAndHeadersTests
{
    [Fact]
    public void Trace_ids_Are_26_letters_unlike_each_other_and_sort_by_time()
    {
        var time = new FakeTimeProvider();
        var all = new List<string>();
        for (var i = 0; i < 2000; i++, time.Advance(TimeSpan.FromMilliseconds(1))) all.Add(TraceIds.Mint(time));

        Assert.All(all, id => Assert.Matches("^[0-7][0-9A-HJKMNP-TV-Z]{25}$", id));
        Assert.Equal(all.Order(StringComparer.Ordinal), all);
    }

    [Fact]
    public void Trace_ids_of_one_moment_on_many_threads_Are_unlike_each_other()
    {
        var time = new FakeTimeProvider();
        var all = new System.Collections.Concurrent.ConcurrentBag<string>();
        Parallel.For(0, 20_000, _ => all.Add(TraceIds.Mint(time)));

        Assert.Equal(20_000, all.Distinct().Count());
        Assert.Single(all.Select(id => id[..9]).Distinct()); // the characters of the time
        Assert.True(all.Select(id => id[10..]).Distinct().Count() > 19_990);
    }

    [Fact]
    public void Headers_Cross_by_a_list_and_credentials_never()
    {
        var request = new DefaultHttpContext().Request;
        foreach (var name in (string[])["Accept", "User-Agent", "anthropic-version", "Anthropic-Beta", "OpenAI-Organization"]) request.Headers[name] = "v";
        foreach (var name in (string[])["Authorization", "x-api-key", "api-key", "Cookie", "Host", "Connection", "Content-Length", "Transfer-Encoding",
            "Accept-Encoding", "Content-Encoding", "X-Forwarded-For", "Origin", "Proxy-Authorization", "x-workspace", "Expect", "openai"])
            request.Headers[name] = "v";

        Assert.Equal(["Accept", "Anthropic-Beta", "OpenAI-Organization", "User-Agent", "anthropic-version"],
            ClientHeaders.Of(request.Headers).Crossing.Select(h => h.Key).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true)]
    [InlineData("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", true)]
    [InlineData("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", false)]
    [InlineData("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01later", false)]
    [InlineData("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false)]
    [InlineData("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false)]
    [InlineData("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false)]
    [InlineData("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false)]
    [InlineData("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false)]
    [InlineData("", false)]
    public void Trace_parent_Is_valid_as_the_standard_says(string text, bool expected)
    {
        Assert.Equal(expected, TraceParents.IsValid(text));
        Assert.True(TraceParents.IsValid(TraceParents.Mint()));
    }
}
