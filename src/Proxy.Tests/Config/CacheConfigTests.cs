using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class CacheConfigTests
{
    private const string Keys =
        "[[auth.keys]]\nname = \"k\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

    [Fact]
    public void No_section_No_cache() => Assert.Null(Toml.Good(Keys).Cache);

    [Fact]
    public void Empty_section_Has_the_defaults() => Assert.Equal(new CacheConfig(), Toml.Good("[cache]\n" + Keys).Cache);

    [Fact]
    public void Every_setting_Is_read() => Assert.Equal(
        new CacheConfig { Exact = true, Ttl = TimeSpan.FromMinutes(90), Size = 128 << 20, Shared = true },
        Toml.Good("[cache]\nexact = true\nttl = \"1h30m\"\nsize = \"128MiB\"\nshared = true\n").Cache);

    [Fact]
    public void Cache_that_could_keep_nothing_Is_refused()
    {
        Toml.IsRefused("[cache]\nttl = \"0s\"\n" + Keys, 2, "cache.ttl", "leaves no time");
        Toml.IsRefused("[cache]\nsize = \"512KiB\"\n" + Keys, 2, "cache.size", "512KiB is too small for answers; write \"1MiB\" or more");
        Toml.IsRefused("[cache]\nexact = true\n", 1, "cache.shared", "write shared = true, or add a key with `proxy keys new NAME`");
        Toml.IsRefused("[cache]\nshared = false\n", 2, "cache.shared", "without keys no caller has a cache of its own");
    }

    [Theory]
    [InlineData("enabled = true", "write exact = true")]
    [InlineData("max_size = \"1MiB\"", "write size")]
    [InlineData("max_age = \"1h\"", "write ttl")]
    [InlineData("size = 64", "write a size with its unit in quotes, such as \"64B\"")]
    public void Wrong_setting_Says_what_to_write(string line, string hint) =>
        Toml.IsRefused($"[cache]\n{line}\n{Keys}", 2, $"cache.{line.Split(' ')[0]}", hint);
}
